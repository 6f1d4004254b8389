"""The apps that benchmarks/flower_transport.py runs over Flower."""

from flower_transport import echoed, measured
from flwr.serverapp import ServerApp

from coplay.run.flower_apps import client

client.train()(echoed)
server = ServerApp()
server.main()(measured)
