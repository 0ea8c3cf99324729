// A program over types that openapi-typescript has generated: reads a row of two key columns, pages, sends a command.
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const api = createClient<paths>({ baseUrl: process.argv[2] });
const asked = { store_id: "in.(901,902,903,904,905)", order: "store_id.asc", limit: 3 };
const page = await api.GET("/v1/retail/store_daily", { params: { query: asked } });
const rows = page.data as { store_id: number; day: string }[];
const cursor = page.response.headers.get("Refold-Cursor") ?? "";
const rest = await api.GET("/v1/retail/store_daily", { params: { query: { ...asked, cursor } } });
const row = await api.GET("/v1/retail/store_daily/{key}", { params: { path: { key: `901,${rows[0].day}` } } });
const revenue: string | undefined = row.data?.revenue;
const absent = await api.GET("/v1/retail/store_daily/{key}", { params: { path: { key: "900,2020-01-01" } } });
const name = `g-${crypto.randomUUID().slice(0, 12)}`;
const sent = await api.POST("/v1/commands/retail/basket/OpenBasket", {
  params: { header: { "Idempotency-Key": name, Prefer: "wait=20" } },
  body: { basket_id: name, store_id: 1 },
});
const decided = sent.data && "version" in sent.data ? sent.data : undefined; // a 202 has neither version nor events
const stream = await api.GET("/v1/streams/retail/basket/{stream}", { params: { path: { stream: name } } });
console.log(
  JSON.stringify({
    page: rows.map((one) => one.store_id),
    rest: (rest.data as { store_id: number }[]).map((one) => one.store_id),
    row: { store_id: row.data?.store_id, revenue, lines: row.data?.lines },
    absent: [absent.response.status, absent.error?.code],
    sent: [decided?.stream, decided?.version, `${decided?.events} event`],
    stream: stream.data?.version,
  }),
);
