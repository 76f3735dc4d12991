#!/usr/bin/env python3
"""Two devices of one person, in Python, on libroost.

    two_devices.py URL CODE_A CODE_B          URL of a daemon; two codes of `roost pair`

A sends and B sees it; B edits and A sees that; A goes offline, writes, and comes back."""
import ctypes, ctypes.util, json, os, sys, tempfile, time
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p, sizeof

lib = ctypes.CDLL(os.environ.get("LIBROOST", "libroost.so.0"))
ONLINE, OFFLINE, RECORD = 2, 3, 8  # enum roost_event_kind


class Event(ctypes.Structure):
    texts = "type name conversation session device other field text json".split()
    _fields_ = [("kind", c_int), ("error", c_int), ("sentence", c_char_p), *[(t, c_char_p) for t in texts],
                ("text_size", c_size_t), ("json_size", c_size_t), ("number", c_int64), ("at", c_int64),
                ("mine", c_int), ("entry", c_void_p)]


EVENT = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Event))


class Options(ctypes.Structure):
    texts = "path url socket_path ca_path token code device_id name platform app_version".split()
    _fields_ = [("size", c_size_t), *[(t, c_char_p) for t in texts], ("foreground", c_int), ("stopped", c_int),
                ("loop", c_void_p), ("event", EVENT), ("ctx", c_void_p)]


class Message(ctypes.Structure):
    texts = "conversation session text parts parent request".split()
    _fields_ = [("size", c_size_t), *[(t, c_char_p) for t in texts], ("automatic", c_int)]


lib.roost_last_error.restype = c_char_p
for name in "close edit start stop step timeout_ms".split():
    getattr(lib, "roost_" + name).argtypes = [c_void_p] + [c_char_p] * (2 if name == "edit" else 0)


def check(error):
    if error:
        raise RuntimeError(lib.roost_last_error().decode())


class Device:
    def __init__(self, path, url, code, name):
        self.online, self.texts, self.handle = False, {}, c_void_p()
        self.callback = EVENT(self.event)  # must live as long as the handle
        options = Options(size=sizeof(Options), path=path.encode(), url=url.encode(), code=code.encode(),
                          name=name.encode(), platform=b"python", event=self.callback)
        check(lib.roost_open(byref(options), byref(self.handle)))

    def event(self, ctx, event):
        e = event.contents
        if e.kind in (ONLINE, OFFLINE):
            self.online = e.kind == ONLINE
        if e.kind == RECORD and e.type == b"Message":
            self.texts[e.name.decode()] = json.loads(e.json)["fields"].get("text")

    def send(self, text, conversation=None):
        name = ctypes.create_string_buffer(37)
        check(lib.roost_send(self.handle, byref(Message(size=sizeof(Message), text=text.encode(),
                                                        conversation=conversation)), name))
        return name.value.decode()


def until(devices, what, ready, seconds=10):
    began = time.monotonic()
    while not ready():
        if time.monotonic() - began > seconds:
            sys.exit(f"two_devices: waited in vain until {what}")
        for device in devices:
            check(lib.roost_step(device.handle))
        time.sleep(0.0005)  # an app would poll roost_fd for roost_timeout_ms
    print(f"{what}: {(time.monotonic() - began) * 1000:.1f} ms", flush=True)


def main(url, code_a, code_b):
    with tempfile.TemporaryDirectory() as place:
        a, b = (Device(f"{place}/{n}.db", url, code, f"device {n}") for n, code in (("a", code_a), ("b", code_b)))
        both = (a, b)
        until(both, "both are online", lambda: a.online and b.online)
        first = a.send("written on A")
        until(both, "B sees what A sent", lambda: b.texts.get(first) == "written on A")
        check(lib.roost_edit(b.handle, first.encode(), b"changed on B"))
        until(both, "A sees what B changed", lambda: a.texts.get(first) == "changed on B")
        check(lib.roost_stop(a.handle))
        until(both, "A is offline", lambda: not a.online)
        second = a.send("written offline")
        check(lib.roost_start(a.handle))
        until(both, "B sees what A wrote offline", lambda: b.texts.get(second) == "written offline")
        for device in both:
            lib.roost_close(device.handle)


if __name__ == "__main__":
    main(*sys.argv[1:4])
