// Counts through node-redis and ioredis.

import assert from "node:assert/strict";
import Ioredis from "ioredis";
import { createClient } from "redis";

const port = Number(process.env.COUNTER_PORT);

const redis = createClient({ socket: { port, host: "127.0.0.1" } });
redis.on("error", (error) => { throw error; });
await redis.connect();
await redis.flushAll();
assert.equal(await redis.incr("a"), 1);
assert.equal(await redis.incrBy("a", 41), 42);
assert.equal(await redis.get("a"), "42");
assert.equal(await redis.set("b", "5", { EX: 100, NX: true }), "OK");
const ttl = await redis.ttl("b");
assert.ok(70 < ttl && ttl <= 100, String(ttl));
assert.deepEqual(await redis.multi().incr("b").expire("b", 50).get("b").exec(), [6, true, "6"]);
// Sent in one pipeline.
const values = await Promise.all(Array.from({ length: 1000 }, () => redis.incr("c")));
assert.deepEqual(values, Array.from({ length: 1000 }, (_, n) => n + 1));
const names = [];
for await (const name of redis.scanIterator({ COUNT: 1 })) names.push(name);
assert.deepEqual(names.sort(), ["a", "b", "c"]);
await assert.rejects(redis.set("a", "text"), /not an integer/);
await redis.quit();

const io = new Ioredis({ port, host: "127.0.0.1" });
assert.equal(await io.incr("a"), 43);
assert.deepEqual(await io.pipeline().incr("a").get("a").exec(), [[null, 44], [null, "44"]]);
assert.deepEqual(await io.multi().decr("a").pttl("a").exec(), [[null, 43], [null, -1]]);
assert.deepEqual(await io.mget("a", "none"), ["43", null]);
await assert.rejects(io.incr("a", "x"), /wrong number of arguments/);
await io.quit();
