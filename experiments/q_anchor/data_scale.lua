-- data_scale.lua - more pre-training (the paper's Table 7): a fifth, two fifths ... all of the steps.
--   assay compare q_anchor_data_scale --suite alipay10 --wide
local setting = require "setting"

local steps = {}
for fifth = 1, 5 do steps[fifth] = setting.steps * fifth // 5 end

return experiment {
  name = setting.name "data_scale", dataset = setting.users(), model = setting.model(), adapter = setting.adapters,
  mask = mask.causal {}, loss = setting.losses(), train = setting.train { steps = any(steps) },
  evaluate = { setting.probe() }, seed = setting.seeds,
}
