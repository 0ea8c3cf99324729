"""The reference domain: a grocery chain's receipts and loyalty card. `CATEGORIES` is what Refold reads of it."""

from refold.schemas.retail.basket import BASKET
from refold.schemas.retail.household import HOUSEHOLD
from refold.schemas.retail.product import PRODUCT

CATEGORIES = (BASKET, PRODUCT, HOUSEHOLD)
