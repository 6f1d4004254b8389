"""The coordinator's app that benchmarks/flower_transport.py runs over Flower."""

from flower_transport import measured
from flwr.serverapp import ServerApp

server = ServerApp()
server.main()(measured)
