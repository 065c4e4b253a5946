-- model_scale.lua - larger decoders, the same everything else (the paper's Table 8: Qwen2.5 0.5B, 1.5B, 3B).
--   assay compare q_anchor_model_scale --suite alipay10 --wide
local setting = require "setting"

local model
if setting.scale == "paper" then
  model = setting.model { size = any { "qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-3b" } }
else
  local width = setting.scale == "tiny" and { 32, 64, 128 } or { 64, 128, 256 }
  local size = zip { width = width, mlp = { width[1] * 11 // 4, width[2] * 11 // 4, width[3] * 11 // 4 } }
  model = setting.model { width = size.width, mlp = size.mlp }
end

return experiment {
  name = setting.name "model_scale", dataset = setting.users(), model = model, adapter = setting.adapters,
  mask = mask.causal {}, loss = setting.losses(), train = setting.train(), evaluate = { setting.probe() },
  seed = setting.seeds,
}
