"""The views of the reference domain: what analysts ask that one row of a table does not say, such as shares and weeks.

A week begins on Sunday. Days and weeks are those of UTC, as in `store_daily`; the hour is the one on the clocks of the stores.
"""

from refold.projections import View

_BASKETS = {
    "basket_id": ("text", "Number on the receipt."),
    "store_id": ("integer", "Number of the store."),
    "household_id": ("text", "Household of the loyalty card, if one was shown."),
    "status": ("text", "open, paid or voided."),
    "opened_at": ("timestamptz", "When the basket was opened."),
    "lines": ("bigint", "Accepted lines."),
    "total": ("numeric(38,2)", "Amount of all accepted lines, after discounts."),
    "discount": ("numeric(38,2)", "What discounts took off the accepted lines."),
}
_SALES = {
    "lines": ("bigint", "Accepted lines."),
    "quantity": ("bigint", "Units of these lines."),
    "revenue": ("numeric(38,2)", "Amount of these lines, after discounts."),
    "discount": ("numeric(38,2)", "What discounts took off these lines."),
}

STORE_TOTALS = View(
    name="store_totals",
    domain="retail",
    description="One row for each store: the sums of store_daily.",
    columns={
        "store_id": ("integer", "Number of the store."),
        "days": ("bigint", "Days on which something happened."),
        "lines": ("bigint", "Accepted lines."),
        "revenue": ("numeric(38,2)", "Amount of all accepted lines."),
        "baskets_paid": ("bigint", "Baskets paid."),
    },
    key=("store_id",),
    reads=("store_daily",),
    sql="""
        SELECT store_id, count(*) AS days, sum(lines)::bigint AS lines, sum(revenue) AS revenue, sum(baskets_paid)::bigint AS baskets_paid
        FROM retail.store_daily GROUP BY store_id
    """,
    units={"revenue": "USD"},
)

STORE_TRENDS = View(
    name="store_trends",
    domain="retail",
    description="One row for each store and day (UTC): its revenue, and that of the seven days that end with it.",
    columns={
        "store_id": ("integer", "Number of the store."),
        "day": ("date", "Day (UTC)."),
        "revenue": ("numeric(38,2)", "Amount of all accepted lines of the day."),
        "revenue_7_days": ("numeric(38,2)", "The same of this day and the six before it."),
    },
    key=("store_id", "day"),
    reads=("store_daily",),
    sql="""
        SELECT store_id, day, revenue,
               sum(revenue) OVER (PARTITION BY store_id ORDER BY day
                                  RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW) AS revenue_7_days
        FROM retail.store_daily
    """,
    units={"revenue": "USD", "revenue_7_days": "USD"},
)

STORE_WEEKLY = View(
    name="store_weekly",
    domain="retail",
    description="One row for each store and week, with the revenue of the week before.",
    columns={
        "store_id": ("integer", "Number of the store."),
        "week": ("date", "The week's first day, a Sunday (UTC)."),
        "days": ("bigint", "Days on which something happened."),
        "lines": ("bigint", "Accepted lines."),
        "revenue": ("numeric(38,2)", "Amount of all accepted lines."),
        "baskets_paid": ("bigint", "Baskets paid."),
        "revenue_before": ("numeric(38,2)", "Revenue of the week before; null if the store has no row of it."),
        "change_percent": ("numeric(38,1)", "By how much revenue grew since then; null if it was nothing."),
    },
    key=("store_id", "week"),
    reads=("store_daily",),
    sql="""
        SELECT *, 100 * (revenue - revenue_before) / nullif(revenue_before, 0) AS change_percent
        FROM (SELECT *, sum(revenue) OVER (PARTITION BY store_id ORDER BY week
                            RANGE BETWEEN INTERVAL '7 days' PRECEDING AND INTERVAL '7 days' PRECEDING) AS revenue_before
              FROM (SELECT store_id, day - extract(dow FROM day)::integer AS week, count(*) AS days, sum(lines) AS lines,
                           sum(revenue) AS revenue, sum(baskets_paid) AS baskets_paid
                    FROM retail.store_daily GROUP BY 1, 2) weeks) compared
    """,
    units={"revenue": "USD", "revenue_before": "USD", "change_percent": "%"},
)

DEPARTMENT_SALES = View(
    name="department_sales",
    domain="retail",
    description="One row for each department, with its share of all revenue.",
    columns={
        "department": ("text", "Department; null of the products that never were listed."),
        "products": ("bigint", "Products that were listed or sold."),
        "lines": ("bigint", "Accepted lines."),
        "revenue": ("numeric(38,2)", "Amount of all accepted lines."),
        "percent": ("numeric(38,2)", "Share of the revenue of all departments."),
    },
    key=("department",),
    reads=("product_sales",),
    sql="""
        SELECT department, count(*) AS products, sum(lines) AS lines, sum(revenue) AS revenue,
               100 * sum(revenue) / nullif(sum(sum(revenue)) OVER (), 0) AS percent
        FROM retail.product_sales GROUP BY department
    """,
    units={"revenue": "USD", "percent": "%"},
)

PRODUCT_RANKS = View(
    name="product_ranks",
    domain="retail",
    description="One row for each product that was sold, with its place in its department.",
    columns={
        "product_id": ("bigint", "Number of the product."),
        "department": ("text", "Department; null if the product never was listed."),
        "place": ("bigint", "Place in the department by revenue: 1 sold best. Of equals the lower number comes first."),
        "brand": ("text", "National or private."),
        "lines": ("bigint", "Accepted lines."),
        "revenue": ("numeric(38,2)", "Amount of all accepted lines."),
        "percent": ("numeric(38,2)", "Share of the department's revenue."),
    },
    key=("product_id",),
    reads=("product_sales",),
    sql="""
        SELECT product_id, department, brand, lines, revenue,
               row_number() OVER (PARTITION BY department ORDER BY revenue DESC, product_id) AS place,
               100 * revenue / nullif(sum(revenue) OVER (PARTITION BY department), 0) AS percent
        FROM retail.product_sales WHERE lines > 0
    """,
    units={"revenue": "USD", "percent": "%"},
)

BASKET_FACTS = View(
    name="basket_facts",
    domain="retail",
    description="One row for each basket, with what baskets are grouped by: day, hour, share of discount, its household's points.",
    columns={
        **_BASKETS,
        "day": ("date", "Day (UTC) on which it was opened."),
        "hour": ("integer", "Hour in which it was opened, 0 to 23, by the stores' clocks (America/New_York)."),
        "discount_percent": ("numeric(38,2)", "Share of the price that discounts took off; null if nothing was sold."),
        "discount_band": ("integer", "That share rounded down to tens: 0, 10, up to 100."),
        "household_points": ("numeric(38,0)", "All points of its household; null without a card."),
    },
    key=("basket_id",),
    reads=("baskets", "households"),
    sql="""
        SELECT f.*, floor(discount_percent / 10) * 10 AS discount_band, h.points AS household_points
        FROM (SELECT basket_id, store_id, household_id, status, opened_at, lines, total, discount,
                     (opened_at AT TIME ZONE 'UTC')::date AS day,
                     extract(hour FROM opened_at AT TIME ZONE 'America/New_York') AS hour,
                     100 * discount / nullif(total + discount, 0) AS discount_percent
              FROM retail.baskets) f
        LEFT JOIN retail.households h ON h.household_id = f.household_id
    """,
    units={"total": "USD", "discount": "USD", "discount_percent": "%", "discount_band": "%"},
)

BASKET_PERCENTILES = View(
    name="basket_percentiles",
    domain="retail",
    description="One row for each week and store, and one for each week and all stores together: how large paid baskets were.",
    columns={
        "week": ("date", "The first day, a Sunday (UTC), of the week in which the baskets were opened."),
        "store_id": ("integer", "Number of the store; null: all stores."),
        "baskets": ("bigint", "Baskets paid."),
        "mean": ("numeric(38,2)", "Mean amount of a basket."),
        "p50": ("numeric(38,2)", "At least half of the baskets have this amount or less; a basket has exactly this."),
        "p90": ("numeric(38,2)", "The same for nine of ten baskets."),
        "p99": ("numeric(38,2)", "The same for 99 of 100 baskets."),
    },
    key=("week", "store_id"),
    reads=("basket_facts",),
    sql="""
        SELECT week, store_id, count(*) AS baskets, avg(total) AS mean,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY total) AS p50,
               percentile_disc(0.9) WITHIN GROUP (ORDER BY total) AS p90,
               percentile_disc(0.99) WITHIN GROUP (ORDER BY total) AS p99
        FROM (SELECT store_id, total, day - extract(dow FROM day)::integer AS week
              FROM retail.basket_facts WHERE status = 'paid') paid
        GROUP BY GROUPING SETS ((week, store_id), (week))
    """,
    units={"mean": "USD", "p50": "USD", "p90": "USD", "p99": "USD"},
)

HOUSEHOLD_WEEKS = View(
    name="household_weeks",
    domain="retail",
    description="One row for each household and week in which it opened a basket that it paid; and the first such week.",
    columns={
        "household_id": ("text", "Number of the household."),
        "week": ("date", "The week's first day, a Sunday (UTC)."),
        "first_week": ("date", "The first such week of the household."),
        "weeks_since": ("integer", "Weeks between the two."),
        "baskets": ("bigint", "Baskets paid."),
        "spent": ("numeric(38,2)", "Amount of these baskets."),
    },
    key=("household_id", "week"),
    reads=("basket_facts",),
    sql="""
        SELECT *, (week - first_week) / 7 AS weeks_since
        FROM (SELECT household_id, week, count(*) AS baskets, sum(total) AS spent,
                     min(week) OVER (PARTITION BY household_id) AS first_week
              FROM (SELECT household_id, total, day - extract(dow FROM day)::integer AS week
                    FROM retail.basket_facts WHERE status = 'paid' AND household_id IS NOT NULL) paid
              GROUP BY household_id, week) weeks
    """,
    units={"spent": "USD"},
)

PRODUCT_WEEKS = View(
    name="product_weeks",
    domain="retail",
    description="One row for each week, store and product that it sold.",
    columns={
        "week": ("date", "The first day, a Sunday (UTC), of the week in which the lines were scanned."),
        "store_id": ("integer", "Number of the store."),
        "product_id": ("bigint", "Number of the product."),
        "department": ("text", "Department; null if the product never was listed."),
        **_SALES,
    },
    key=("week", "store_id", "product_id"),
    reads=("basket_lines", "product_sales"),
    sql="""
        SELECT week, store_id, product_id, department, count(*) AS lines, sum(quantity) AS quantity, sum(amount) AS revenue,
               sum(discount) AS discount
        FROM (SELECT *, day - extract(dow FROM day)::integer AS week
              FROM (SELECT *, (scanned_at AT TIME ZONE 'UTC')::date AS day FROM retail.basket_lines) days) lines
        LEFT JOIN (SELECT product_id, department FROM retail.product_sales) products USING (product_id)
        GROUP BY 1, 2, 3, 4
    """,
    units={"revenue": "USD", "discount": "USD"},
)

DEPARTMENT_WEEKS = View(
    name="department_weeks",
    domain="retail",
    description="One row for each week, store and department: the sums of product_weeks.",
    columns={
        "week": ("date", "The first day, a Sunday (UTC), of the week in which the lines were scanned."),
        "store_id": ("integer", "Number of the store."),
        "department": ("text", "Department; null of the products that never were listed."),
        "products": ("bigint", "Products that were sold."),
        **_SALES,
    },
    key=("week", "store_id", "department"),
    reads=("product_weeks",),
    sql="""
        SELECT week, store_id, department, count(*) AS products, sum(lines) AS lines, sum(quantity) AS quantity,
               sum(revenue) AS revenue, sum(discount) AS discount
        FROM retail.product_weeks GROUP BY 1, 2, 3
    """,
    units={"revenue": "USD", "discount": "USD"},
)

VIEWS = (
    STORE_TOTALS,
    STORE_TRENDS,
    STORE_WEEKLY,
    DEPARTMENT_SALES,
    PRODUCT_RANKS,
    BASKET_FACTS,
    BASKET_PERCENTILES,
    HOUSEHOLD_WEEKS,
    PRODUCT_WEEKS,
    DEPARTMENT_WEEKS,
)
