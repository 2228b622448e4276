"""A small storefront for each stand-in shop, with pages that a browser walks through: where the pixel is tried."""
