"""Messages that are sent later, by their Channels 1.x name: `Channel("asgi.delay").send({...})` (items 206 to 208).

Put "channelcelery.delay" into INSTALLED_APPS for it. `Channel(name).send(content, delay=milliseconds)` is the plain
form and needs nothing.
"""
