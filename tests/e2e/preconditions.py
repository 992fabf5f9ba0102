"""PUT with If-Match: *, by many at once: it asks for something that exists, at whatever version."""
import threading

from cfgctl import Session as Base, laboratory, main

WRITERS, EACH = 6, 4


class Preconditions(Base):
    def put(self, value, headers):
        return self.configd.call("PUT", "/v1/config/chat", {"value": value}, headers)

    def status_of(self, *args):
        with self.assertRaises(laboratory.Problem) as caught:
            self.put(*args)
        return caught.exception.status

    def test_any_version(self):
        self.assertEqual(self.status_of(1, {"If-Match": "*"}), 412, "it does not exist")
        self.ok("set", "chat/value=0")
        failed = []

        def write(n):
            for i in range(EACH):
                try:
                    self.put(100 * n + i + 1, {"If-Match": "*"})
                except laboratory.Problem as problem:
                    failed.append((problem.status, problem.body))

        writers = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
        for w in writers:
            w.start()
        for w in writers:
            w.join()
        self.assertEqual(failed, [])
        self.assertEqual(self.json("get", "chat")["version"], 1 + WRITERS * EACH, "each is a version")
        # Sent again after a lost reply, it is the same request, whatever the version is by now.
        again = {"If-Match": "*", "Idempotency-Key": "k" * 32}
        first = self.put(7, again)
        self.assertEqual(self.put(7, again)["revision"], first["revision"])
        self.configd.call("DELETE", "/v1/config/chat")
        self.assertEqual(self.status_of(1, {"If-Match": "*"}), 412, "it is deleted")
        self.assertEqual(self.status_of(1, {}), 428)
        self.ok("set", "base/a=1")
        self.ok("set", "top/a=1")
        self.configd.call("PUT", "/v1/config/top/extends", ["base"], {"If-Match": "*"})


if __name__ == "__main__":
    main(Preconditions)
