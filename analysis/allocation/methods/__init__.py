"""How to spread a target over layers and groups, a file a method; `analysis.allocation.registry` lists them."""
