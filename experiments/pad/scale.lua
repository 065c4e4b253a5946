-- scale.lua - one scale for every patch, or one learned number a block, or a fixed one: 0.5 everywhere, falling
-- geometrically from the last block to the first, or linearly.
--   assay compare pad_scale --by adapter.patch_scale.scale
return require("setting").ablation("scale", { scale = any { "patch", "scalar", "fixed", "geometric", "linear" } })
