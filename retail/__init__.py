"""The reference domain: baskets, products and households of a grocer. Copy it to begin your own."""
