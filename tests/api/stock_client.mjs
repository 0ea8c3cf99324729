// The JavaScript client of PostgREST, unmodified: prints what each call answers, as one JSON object. Arguments: the API's address.
import { PostgrestClient } from '@supabase/postgrest-js'

const client = new PostgrestClient(process.argv[2])
const tools = (...asked) => client.from('tools').select(...asked)
const numbers = (ask) => ask(tools('nr'))
const calls = {
  eq: numbers((q) => q.eq('nr', 2)),
  range_of_days: numbers((q) => q.gte('made_on', '2026-01-02').lte('made_on', '2026-01-03')),
  like: numbers((q) => q.like('name', '%,%')),
  ilike: numbers((q) => q.ilike('name', '%NAIL%')),
  like_any: numbers((q) => q.likeAnyOf('name', ['h%', 's%'])),
  is_null: numbers((q) => q.is('name', null)),
  is_true: numbers((q) => q.is('sold', true)),
  in_quoted: numbers((q) => q.in('name', ['saw, long', 'nail "A"'])),
  not_in: numbers((q) => q.not('nr', 'in', '(1,4)')),
  not_null: numbers((q) => q.not('price', 'is', null)),
  or: numbers((q) => q.or('name.eq."saw, long",and(price.lt.1,sold.is.true)')),
  match: numbers((q) => q.match({ sold: true, nr: 4 })),
  text_search: numbers((q) => q.textSearch('name', 'hammer or saw', { type: 'websearch' })),
  order: numbers((q) => q.order('price', { ascending: false, nullsFirst: true })),
  range: numbers((q) => q.range(1, 2)),
  columns: tools('code:nr::text,price').eq('nr', 1),
  sums: tools('sold,n:count(),price.sum()').order('sold'),
  counted: tools('nr', { count: 'exact' }).limit(1),
  head: tools('*', { count: 'exact', head: true }),
  single: tools('nr').eq('nr', 3).single(),
  no_single: tools('nr').eq('nr', 9).single(),
  maybe_single: tools('nr').eq('nr', 9).maybeSingle(),
  csv: tools('nr,name').eq('nr', 2).csv(),
  stripped: tools('*').eq('nr', 4).stripNulls(),
  unknown: tools('colour'),
  unlinked: tools('nr,maker(name)'),
  embedded: tools('nr,loans(loan,tool(name))').eq('nr', 1).order('days', { referencedTable: 'loans', ascending: false }).limit(1, { referencedTable: 'loans' }),
  inner: client.from('loans').select('loan,tool!inner(nr)').eq('tool.name', 'saw, long'),
  counts: tools('nr,loans(count)').in('nr', [1, 3]),
}
const answers = {}
for (const [name, call] of Object.entries(calls)) {
  const { status, data, count, error } = await call
  answers[name] = { status, data, count, code: error?.code ?? null, hint: error?.hint ?? null }
}
console.log(JSON.stringify(answers))
