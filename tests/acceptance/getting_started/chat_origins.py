"""Security: the chat with users, open to this site's own pages only."""

from channelcelery.auth import channel_session_user_from_http
from channelcelery.routing import route
from channelcelery.security.websockets import allowed_hosts_only
from tests.acceptance.getting_started import chat_users


# of websocket.connect
@allowed_hosts_only
@channel_session_user_from_http
def ws_add(message):
    # take the socket
    chat_users.ws_add(message)


channel_routing = [
    route("websocket.connect", ws_add),
    route("websocket.receive", chat_users.ws_message),
    route("websocket.disconnect", chat_users.ws_disconnect),
]
