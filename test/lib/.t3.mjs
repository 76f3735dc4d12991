import { Daemon, Device, newId } from "/work/main/test/lib/roost.mjs";
import { execFileSync } from "node:child_process";
const d = await Daemon.start({bin:process.argv[2]});
const c = await d.pair(); 
console.log((await d.http("GET","/healthz",{token:c.token})).text);
setTimeout(()=>{ console.log(execFileSync("gdb",["-p",String(d.child.pid),"-batch","-ex","thread apply all bt 8"]).toString().split("\n").filter(l=>/^#|Thread/.test(l)).join("\n")); d.child.kill("SIGKILL"); process.exit(1)}, 3000);
d.http("GET","/api/v1/me",{token:c.token}).then(x=>console.log(x.text));
