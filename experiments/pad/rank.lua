-- rank.lua - how wide the adapter is.
--   assay compare pad_rank --by adapter.patch_scale.rank
local setting = require "setting"
return setting.ablation("rank", { rank = setting.scale == "tiny" and any { 2, 8, 16, 32 } or any { 16, 32, 64, 128 } })
