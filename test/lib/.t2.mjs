import { Daemon, Device, newId } from "/work/main/test/lib/roost.mjs";
const d = await Daemon.start({bin:process.argv[2]});
setTimeout(()=>{console.log("TIMEOUT", d.errors); d.child.kill("SIGKILL"); process.exit(1)}, 8000);
console.log("started");
const c = await d.pair(); console.log(c);
console.log((await d.http("GET","/api/v1/me",{token:c.token})).text);
const a = new Device(); Object.assign(a,{daemon:d,...c}); a.tap=(f)=>console.log("<",JSON.stringify(f).slice(0,300));
await a.open(); console.log("open"); await a.hello(); 
const r = await a.converse({text:"hi", conversationId:newId(), model:"local:test", params:{tokens:5}}); console.log(JSON.stringify(r));
await d.remove(); process.exit(0)
