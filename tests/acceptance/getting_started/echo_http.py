"""First consumers: one that answers every HTTP request, routed by a dotted path."""

from django.http import HttpResponse

from channelcelery.handler import AsgiHandler
from channelcelery.routing import route


def http_consumer(message):
    # a response made by hand, from what the message has
    response = HttpResponse("Hello world! You asked for %s" % message.content["path"])
    # which becomes one message, or several
    for chunk in AsgiHandler.encode_response(response):
        message.reply_channel.send(chunk)


channel_routing = [
    route("http.request", "tests.acceptance.getting_started.echo_http.http_consumer"),
]
