// A device in a process of its own, for tests that stop processes: connects, joins and prints every frame as a line.
// What it is told stands in ROOST_CLIENT: {port, token, deviceId, conversationId}.

import WebSocket from "ws";

const { port, token, deviceId, conversationId } = JSON.parse(process.env.ROOST_CLIENT);
const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/devices/socket`, ["roost.v1"], {
	headers: { authorization: `Bearer ${token}` },
	perMessageDeflate: false,
});
socket.on("open", () => {
	socket.send(JSON.stringify({ type: "device:hello", deviceId, protocol: 1 }));
	socket.send(JSON.stringify({ type: "session:join", conversationId }));
});
socket.on("message", (bytes) => process.stdout.write(`${bytes}\n`));
socket.on("close", () => process.exit(0));
