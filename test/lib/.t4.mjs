import { Daemon, Device, newId } from "/work/main/test/lib/roost.mjs";
const d = await Daemon.start({bin:process.argv[2], env:{ROOST_TEST_FREEZE:"stream"}});
const a = await d.device(); const conversationId=newId(); await a.call("session:join",{conversationId});
const {requestId}=await a.send({text:"x",conversationId,model:"local:test", params: { tokens: 60, tokensPerSecond: 2.5 }});
try { await a.until(()=>a.stream(requestId),"text",40000); console.log("ok"); } catch(e) {console.log(e.message)}
await new Promise(r=>setTimeout(r,500)); console.log(d.errors); await d.remove(); process.exit(0)
