from __future__ import annotations
import asyncio, time, asyncpg
async def test_x(database_url):
    a = await asyncpg.connect(database_url); b = await asyncpg.connect(database_url)
    await a.execute("SET statement_timeout='1s'; SET idle_in_transaction_session_timeout='1s'")
    await a.execute("BEGIN"); await a.execute("CREATE TABLE x (i int)")
    await a.prepare("SELECT $1::int")
    for i in range(5):
        await asyncio.sleep(1)
        print(i+1, [dict(r) for r in await b.fetch("select state, wait_event from pg_stat_activity where pid=$1", a.get_server_pid())])
    await a.close(); await b.close()
