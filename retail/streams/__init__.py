"""The rules of the reference domain. Refold loads `DECIDERS`."""

from refold.retail.streams.basket import BASKET_DECIDER
from refold.retail.streams.household import HOUSEHOLD_DECIDER
from refold.retail.streams.product import PRODUCT_DECIDER

DECIDERS = (BASKET_DECIDER, PRODUCT_DECIDER, HOUSEHOLD_DECIDER)
