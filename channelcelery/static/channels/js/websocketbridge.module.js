// WebSocketBridge for ES modules: what the classic script defines, under its name.
import "./websocketbridge.js";

export const { WebSocketBridge } = globalThis.channels;
