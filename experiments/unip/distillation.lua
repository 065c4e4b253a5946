-- distillation.lua - attention or features? The same teacher and the same layer, by NMI (the paper's Table 6).
--   assay compare unip_distillation --by unip.loss
local setting = require "setting"

local scan  = setting.scan(setting.teacher())
local layer = scan:score("attention_pattern/layer")

return experiment {
  name = setting.name "distillation", dataset = setting.labelled(), model = setting.segmenter(),
  init = setting.student("unip", any {
    loss.attention_distill { teacher = scan, teacher_layer = layer },
    loss.feature_distill { teacher = scan, teacher_layer = layer },
  }),
  loss = loss.segmentation {}, train = setting.tuning(), evaluate = setting.segmentation(), seed = setting.seeds,
}
