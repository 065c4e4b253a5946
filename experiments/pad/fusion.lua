-- fusion.lua - what a patch's scale is computed from: MLP and adapter side by side, their sum, the adapter, the MLP.
--   assay compare pad_fusion --by adapter.patch_scale.fusion
return require("setting").ablation("fusion", { fusion = any { "concat", "sum", "side", "gside" } })
