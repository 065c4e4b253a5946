-- benchmark.lua - which pre-training transfers? The same network after each method, fine-tuned and probed (the paper's
-- Table 1 and Fig. 1). At tiny scale the methods are those that can be run here: none, and MAE on infrared pictures. At
-- paper scale they are folders or files of published weights: ASSAY_MAE, ASSAY_CROSSMAE, ASSAY_DEIT, ASSAY_DEIT3,
-- ASSAY_DINO, ASSAY_IBOT, each of the setting's size; what is not given is left out.
--   assay compare unip_benchmark --by init --where model.head=linear
local setting = require "setting"

local methods = { none }
for _, name in ipairs { "MAE", "CROSSMAE", "DEIT", "DEIT3", "DINO", "IBOT" } do
  local weights = env("ASSAY_" .. name, "")
  if weights ~= "" then methods[#methods + 1] = weights end
end
if setting.scale == "tiny" then methods[#methods + 1] = setting.plain("mae") end
local protocol = setting.protocols()

return experiment {
  name = setting.name "benchmark", dataset = setting.labelled(),
  model = setting.by_protocol(protocol, { neck = protocol.benchmark_neck }),
  init = #methods > 1 and any(methods) or none, loss = loss.segmentation {},
  train = setting.tuning { layer_decay = protocol.layer_decay }, evaluate = setting.segmentation(), seed = setting.seeds,
}
