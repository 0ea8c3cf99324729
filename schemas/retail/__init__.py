"""The reference domain: a grocery chain's receipts. `CATEGORIES` is what Refold reads of it."""

from refold.schemas.retail.basket import BASKET
from refold.schemas.retail.product import PRODUCT

CATEGORIES = (BASKET, PRODUCT)
