// The socket: opened again when it is lost, with the session that it had.

const FIRST_MS = 400;
const MOST_MS = 5000;

export class Connection {
  // `hears` has `text(message)`, `frame(buffer)` and `status(word, text)`.
  constructor(hears) {
    this.hears = hears;
    this.wait = FIRST_MS;
    this.socket = null;
    this.over = false;
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const session = sessionStorage.getItem("session") || "";
      this.say({ t: "hello", session });
    };
    socket.onmessage = (event) => {
      if (typeof event.data !== "string") {
        this.hears.frame(event.data);
        return;
      }
      const message = JSON.parse(event.data);
      if (message.t === "welcome") this.wait = FIRST_MS;
      this.hears.text(message);
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      if (event.reason === "taken over") {
        this.hears.status("away", "This session is played in another window.");
        return;
      }
      const why = event.code === 1008 ? ` (${event.reason})` : "";
      this.hears.status("lost", `No connection${why}; trying again.`);
      setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(MOST_MS, this.wait * 1.6);
    };
  }

  get ready() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  say(message) {
    if (this.ready) this.socket.send(JSON.stringify(message));
  }
}
