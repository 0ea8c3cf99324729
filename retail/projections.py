"""The read models of the reference domain.

One rule for money: revenue counts every accepted line (ItemScanned) at the time of its scan, whether or not its basket
is paid later. A voided basket is not subtracted.
"""

from refold.projections import OCCURRED_AT, Entity, EventTable, Link, Rollup, by_event, cell, day, events, key
from refold.retail.refusals import REJECTIONS
from refold.retail.schemas.basket import BASKET, BasketAbandoned, BasketOpened, BasketPaid, ItemScanned
from refold.retail.schemas.household import HOUSEHOLD, CampaignJoined, CouponRedeemed, PointsAwarded
from refold.retail.schemas.product import PRODUCT, ProductDelisted, ProductListed, ProductRebranded
from refold.retail.views import VIEWS

opened = events(BASKET, BasketOpened)
scanned = events(BASKET, ItemScanned)
paid = events(BASKET, BasketPaid)
closed = events(BASKET, BasketPaid, BasketAbandoned)
listed = events(PRODUCT, ProductListed)
joined = events(HOUSEHOLD, CampaignJoined)
redeemed = events(HOUSEHOLD, CouponRedeemed)
awarded = events(HOUSEHOLD, PointsAwarded)
branded = events(PRODUCT, ProductListed, ProductRebranded)
ranged = events(PRODUCT, ProductListed, ProductDelisted)
steps = events(BASKET, BasketOpened, BasketPaid, BasketAbandoned)

BASKETS = Entity(
    name="baskets",
    domain="retail",
    description="One row for each basket: where and when it was opened, what was scanned, how it ended.",
    category=BASKET,
    key_name="basket_id",
    key_doc="Number on the receipt.",
    columns={
        "store_id": opened.last("store_id", "Number of the store."),
        "household_id": opened.last("household_id", "Household of the loyalty card, if one was shown."),
        "status": steps.last(
            by_event({BasketOpened: "open", BasketPaid: "paid", BasketAbandoned: "voided"}), "open, paid or voided."
        ),
        "lines": scanned.count("Accepted lines."),
        "quantity": scanned.sum("quantity", "Units of all accepted lines."),
        "total": scanned.sum("amount", "Amount of all accepted lines, after discounts."),
        "discount": scanned.sum("discount", "What discounts took off the accepted lines."),
        "opened_at": opened.min(OCCURRED_AT, "When the basket was opened."),
        "closed_at": closed.max(OCCURRED_AT, "When it was paid or voided; null while it is open."),
    },
    units={"total": "USD", "discount": "USD"},
    links={
        "household": Link(
            "households",
            "household_id",
            "The household of the loyalty card, once it has a row.",
            reverse="receipts",
            reverse_doc="Its baskets, paid or not: those at which its loyalty card was shown.",
        ),
        "store": Link("store_totals", "store_id", "The store's totals over all days.", reverse="receipts"),
    },
)

STORE_DAILY = Rollup(
    name="store_daily",
    domain="retail",
    description="One row for each store and day (UTC) on which something happened there.",
    key={
        "store_id": key("store_id", "Number of the store."),
        "day": key(day(OCCURRED_AT), "Day (UTC) of the event."),
    },
    columns={
        "lines": scanned.count("Accepted lines."),
        "quantity": scanned.sum("quantity", "Units of all accepted lines."),
        "revenue": scanned.sum(
            "amount", "Amount of all accepted lines (ItemScanned), paid or not; voids are not taken back."
        ),
        "discount": scanned.sum("discount", "What discounts took off the accepted lines."),
        "baskets_opened": opened.count("Baskets opened."),
        "baskets_paid": paid.count("Baskets paid."),
        "paid": paid.sum("total", "Amount of the baskets paid."),
        "largest_basket": paid.max("total", "Amount of the largest basket paid; null where none was."),
    },
    units={"revenue": "USD", "discount": "USD", "paid": "USD", "largest_basket": "USD"},
)

PRODUCT_SALES = Rollup(
    name="product_sales",
    domain="retail",
    description="One row for each product that was listed or sold.",
    key={"product_id": key("product_id", "Number of the product.")},
    columns={
        "department": listed.last("department", "Department, as last listed; null if the product never was."),
        "brand": branded.last("brand", "National or private, as last listed or relabelled."),
        "status": ranged.last(
            by_event({ProductListed: "listed", ProductDelisted: "delisted"}),
            "listed or delisted; null if the product never was in the range.",
        ),
        "lines": scanned.count("Accepted lines."),
        "quantity": scanned.sum("quantity", "Units of all accepted lines."),
        "revenue": scanned.sum(
            "amount", "Amount of all accepted lines (ItemScanned), paid or not; voids are not taken back."
        ),
        "first_sold_at": scanned.min(OCCURRED_AT, "When it was scanned first; null if never."),
        "last_sold_at": scanned.max(OCCURRED_AT, "When it was scanned last; null if never."),
        "first_store_id": scanned.first("store_id", "Store of the earliest line."),
        "last_store_id": scanned.last("store_id", "Store of the latest line."),
    },
    units={"revenue": "USD"},
)

HOUSEHOLDS = Entity(
    name="households",
    domain="retail",
    description="One row for each household of the loyalty card that joined a campaign, redeemed a coupon or earned points.",
    category=HOUSEHOLD,
    key_name="household_id",
    key_doc="Number of the household.",
    columns={
        "campaigns": joined.count("Campaigns joined."),
        "last_campaign_id": joined.last("campaign_id", "Campaign joined last; null if none was."),
        "coupons": redeemed.count("Coupons redeemed."),
        "last_redeemed_at": redeemed.max(OCCURRED_AT, "When a coupon was redeemed last; null if none was."),
        "baskets": awarded.count("Paid baskets that earned points."),
        "points": awarded.sum("points", "Points of all baskets."),
        "largest_award": awarded.max("points", "Points of the basket that earned most; null if none did."),
        "last_basket_at": awarded.max(OCCURRED_AT, "When a basket earned points last; null if none did."),
    },
)

BASKET_LINES = EventTable(
    name="basket_lines",
    domain="retail",
    description="One row for each accepted line of a receipt (ItemScanned).",
    of=scanned,
    stream=("basket_id", "Number on the receipt."),
    version=("line", "Place on the receipt: rises from line to line, and the first is 2, since 1 opened the basket."),
    columns={
        "store_id": cell("store_id", "Number of the store."),
        "product_id": cell("product_id", "Number of the product."),
        "quantity": cell("quantity", "Units."),
        "amount": cell("amount", "Amount of the line, after discounts."),
        "discount": cell("discount", "What discounts took off the line."),
        "scanned_at": cell(OCCURRED_AT, "When it was scanned."),
    },
    units={"amount": "USD", "discount": "USD"},
    links={"basket": Link("baskets", "basket_id", "Its basket.", reverse="items", reverse_doc="Its accepted lines.")},
)

CAMPAIGNS = Rollup(
    name="campaigns",
    domain="retail",
    description="One row for each campaign that a household joined.",
    key={"campaign_id": key("campaign_id", "Number of the campaign.")},
    columns={
        "households": joined.count("Households that joined."),
        "redeemed": redeemed.count("Coupons redeemed; one that several households redeemed counts for each."),
        "first_redeemed_at": redeemed.min(OCCURRED_AT, "When a coupon was redeemed first; null if none was."),
        "last_redeemed_at": redeemed.max(OCCURRED_AT, "When a coupon was redeemed last; null if none was."),
    },
)

COUPONS = Rollup(
    name="coupons",
    domain="retail",
    description="One row for each campaign and coupon of it that was redeemed.",
    key={
        "campaign_id": key("campaign_id", "Number of the campaign."),
        "coupon_upc": key("coupon_upc", "Bar code of the coupon."),
    },
    columns={
        "redeemed": redeemed.count("Households that redeemed it."),
        "first_redeemed_at": redeemed.min(OCCURRED_AT, "When it was redeemed first."),
        "last_redeemed_at": redeemed.max(OCCURRED_AT, "When it was redeemed last."),
    },
    links={"campaign": Link("campaigns", "campaign_id", "The campaign.", reverse="coupons")},
)

READ_MODELS = (BASKETS, STORE_DAILY, PRODUCT_SALES, HOUSEHOLDS, BASKET_LINES, CAMPAIGNS, COUPONS, REJECTIONS, *VIEWS)
