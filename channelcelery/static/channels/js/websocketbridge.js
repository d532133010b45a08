/*
 * The browser's side of channelcelery: `channels.WebSocketBridge`, as in Channels 1.x (items 228 to 230).
 *
 * A classic script. For ES modules websocketbridge.module.js exports what this file defines, so that there is one
 * source and nothing to build.
 */
(() => {
  "use strict";

  const DEFAULTS = {
    minReconnectionDelay: 1500, // ms; the first delay is between this and twice this, at random
    maxReconnectionDelay: 10_000, // ms
    reconnectionDelayGrowFactor: 1.3,
    minUptime: 5000, // ms that a connection must have been open for the next delay to be a first one
    connectionTimeout: 4000, // ms that a handshake may take
    maxRetries: Infinity, // in a row
    debug: false, // whether to write to the console
  };

  /**
   * A WebSocket that comes back by itself; its listeners stay.
   *
   * It has a WebSocket's attributes, methods and events. `close` ends it for good, unless it is given
   * `{ keepClosed: false }`; `send` throws while it is not open.
   */
  class ReconnectingWebSocket extends EventTarget {
    #url;
    #protocols;
    #options;
    #socket;
    #binaryType = "blob";
    #timer; // of the handshake, or of the next one
    #openedAt = Infinity;
    #delay = 0;
    #failures = 0;
    #ended = false;

    constructor(url, protocols, options) {
      super();
      this.#url = url;
      this.#protocols = protocols ?? [];
      this.#options = { ...DEFAULTS, ...options };
      for (const type of ["open", "message", "error", "close"]) {
        this[`on${type}`] = null;
        this.addEventListener(type, (event) => this[`on${type}`]?.(event));
      }
      this.#open();
    }

    get url() { return this.#socket.url; }
    get protocol() { return this.#socket.protocol; }
    get extensions() { return this.#socket.extensions; }
    get readyState() { return this.#socket.readyState; }
    get bufferedAmount() { return this.#socket.bufferedAmount; }
    get binaryType() { return this.#binaryType; }
    set binaryType(value) { this.#socket.binaryType = this.#binaryType = value; }

    send(data) {
      if (this.readyState !== WebSocket.OPEN) {
        throw new DOMException("The WebSocket is not open: send after its next 'open' event.", "InvalidStateError");
      }
      this.#socket.send(data);
    }

    close(code = 1000, reason = "", { keepClosed = true } = {}) {
      this.#socket.close(code, reason);
      this.#ended = keepClosed;
      if (keepClosed) clearTimeout(this.#timer);
    }

    #open() {
      const socket = (this.#socket = new WebSocket(this.#url(), this.#protocols));
      this.#log("connecting to", socket.url);
      socket.binaryType = this.#binaryType;
      this.#openedAt = Infinity;
      this.#timer = setTimeout(() => {
        socket.close();
        this.#fail("ETIMEDOUT", "Connection timeout");
      }, this.#options.connectionTimeout);
      socket.onopen = () => {
        clearTimeout(this.#timer);
        this.#openedAt = performance.now();
        this.#log("open");
        this.dispatchEvent(new Event("open"));
      };
      socket.onmessage = ({ data, origin }) => this.dispatchEvent(new MessageEvent("message", { data, origin }));
      socket.onerror = () => this.dispatchEvent(new Event("error"));
      socket.onclose = ({ code, reason, wasClean }) => this.#lost({ code, reason, wasClean });
    }

    #lost(how) {
      clearTimeout(this.#timer);
      this.#log("closed with", how.code);
      // A server that accepts and closes at once is failing still.
      if (performance.now() - this.#openedAt >= this.#options.minUptime) this.#delay = this.#failures = 0;
      this.dispatchEvent(new CloseEvent("close", how));
      if (this.#ended) return;
      this.#failures += 1;
      if (this.#failures > this.#options.maxRetries) {
        this.#fail("EHOSTDOWN", "Too many failed connection attempts");
        return;
      }
      const { minReconnectionDelay: first, maxReconnectionDelay: longest } = this.#options;
      const next = this.#delay ? this.#delay * this.#options.reconnectionDelayGrowFactor : first * (1 + Math.random());
      this.#delay = Math.min(next, longest);
      this.#log("next try in", this.#delay, "ms");
      this.#timer = setTimeout(() => this.#open(), this.#delay);
    }

    #fail(code, message) {
      this.#log(message);
      this.dispatchEvent(Object.assign(new Event("error"), { code, message }));
    }

    #log(...what) {
      if (this.#options.debug) console.log("WebSocketBridge:", ...what);
    }
  }

  for (const state of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]) {
    const value = { value: WebSocket[state], enumerable: true };
    Object.defineProperty(ReconnectingWebSocket, state, value);
    Object.defineProperty(ReconnectingWebSocket.prototype, state, value);
  }

  /** JSON over a WebSocket, whole or by streams; several streams are what a `WebsocketDemultiplexer` has. */
  class WebSocketBridge {
    /** The socket underneath, null before `connect`. */
    socket = null;
    streams = Object.create(null);
    default_cb = null;
    #listening = false;

    constructor(options) {
      this.options = { ...options };
    }

    /**
     * Open the connection; one that is open already is closed for good.
     *
     * @param {string | (() => string)} [url] a path of this page's host, or a whole address; the host's "/" if left
     *   out; or a function that gives one of these, called before each try
     * @param {string | string[]} [protocols]
     * @param {object} [options] those of DEFAULTS above
     */
    connect(url, protocols, options) {
      this.socket?.close();
      const address = () => {
        const found = new URL((typeof url === "function" ? url() : url) ?? "/", location.href);
        found.protocol = found.protocol.replace(/^http/, "ws");
        found.hash = "";
        return found.href;
      };
      this.socket = new ReconnectingWebSocket(address, protocols, { ...this.options, ...options });
      if (this.#listening) this.listen(this.default_cb);
    }

    /**
     * Hand on what comes: a stream's to its `demultiplex`, whatever belongs to no stream to `callback`.
     *
     * @param {(message: any, stream: null) => void} [callback]
     */
    listen(callback) {
      this.default_cb = callback;
      this.#listening = true;
      if (this.socket) this.socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    }

    #receive(message) {
      if (message?.stream === undefined) this.default_cb?.(message, null);
      else this.streams[message.stream]?.(message.payload, message.stream);
    }

    /**
     * Say who gets what comes on a stream.
     *
     * @param {string} stream
     * @param {(payload: any, stream: string) => void} callback
     */
    demultiplex(stream, callback) {
      this.streams[stream] = callback;
    }

    /** Send something as JSON; throws an InvalidStateError while the connection is not open. */
    send(message) {
      if (!this.socket) throw new DOMException("There is no connection: call connect().", "InvalidStateError");
      this.socket.send(JSON.stringify(message));
    }

    /** Return an object whose `send` sends on a stream. */
    stream(stream) {
      return { send: (payload) => this.send({ stream, payload }) };
    }
  }

  globalThis.channels = { WebSocketBridge };
})();
