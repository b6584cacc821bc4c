"""Imitations of outside services as ASGI apps, for the demo and the tests. The product never imports them."""
