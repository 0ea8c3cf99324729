"""The reference domain: a grocery chain's receipts and loyalty card. Refold loads `CATEGORIES`."""

from refold.retail.schemas.basket import BASKET
from refold.retail.schemas.household import HOUSEHOLD
from refold.retail.schemas.product import PRODUCT

CATEGORIES = (BASKET, PRODUCT, HOUSEHOLD)
