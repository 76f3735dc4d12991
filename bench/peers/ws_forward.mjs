// The reference for fan-out: the `ws` package, the server most people would write, doing the least that could be called
// the same job. It speaks as much of the device protocol as bench_fanout needs, keeps nothing, writes nothing to disk,
// and forwards each message to everybody else as one frame encoded once. Prints {"port":N}; ends when its standard
// input does.

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => response.writeHead(404).end());
const sockets = new WebSocketServer({ server, perMessageDeflate: false, handleProtocols: () => "roost.v1" });
let place = 0;

function forward(from, frame) {
	const record = { type: "Message", name: frame.messageId, changeTag: `c${++place}`, deleted: false,
		fields: { conversationId: frame.conversationId, role: "user", text: frame.text } };
	const text = Buffer.from(JSON.stringify({ type: "session:changes", records: [record], cursor: String(place) }));
	for (const socket of sockets.clients)
		if (socket !== from && socket.readyState === 1) socket.send(text, { binary: false });
	from.send(JSON.stringify({ type: "message:ack", re: frame.id, messageId: frame.messageId, duplicate: false }));
}

sockets.on("connection", (socket) => {
	socket.on("error", () => socket.terminate());
	socket.on("message", (data) => {
		const frame = JSON.parse(data);
		if (frame.type === "device:hello")
			socket.send(JSON.stringify({ type: "device:welcome", deviceId: frame.deviceId, cursor: String(place) }));
		else if (frame.type === "message:send") forward(socket, frame);
		else if (frame.type === "ping") socket.send(JSON.stringify({ type: "pong", re: frame.id }));
	});
});

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on("end", () => process.exit(0));
