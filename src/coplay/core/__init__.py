"""The ground that everything stands on: spaces, streams, storage, errors, components, messages."""
