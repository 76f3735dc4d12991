import { Daemon, Device, newId } from "/work/main/test/lib/roost.mjs";
const d = await Daemon.start({bin:process.argv[2]});
try {
const a = await d.device(); console.log(a.welcome);
const r = await a.converse({text:"hi", conversationId:newId(), model:"local:test", params:{tokens:5}}); console.log(JSON.stringify(r));
} catch(e) { console.log(e); await new Promise(r=>setTimeout(r,500)); console.log(d.errors); }
await d.remove();
