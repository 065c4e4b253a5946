-- neck.lua - LL-FPN (four levels from the last block) against a pyramid of four blocks, after plain MAE and after UNIP
-- (the paper's Table 7). Both have the same parameters.
--   assay compare unip_neck --by model.neck --where init=unip
local setting = require "setting"

local scan = setting.scan(setting.teacher())
local unip = setting.student("unip", loss.attention_distill {
  teacher = scan, teacher_layer = scan:score("attention_pattern/layer"),
})

return experiment {
  name = setting.name "neck", dataset = setting.labelled(),
  model = setting.segmenter { neck = any { "fpn", "ll_fpn" } }, init = any { setting.plain("mae"), unip },
  loss = loss.segmentation {}, train = setting.tuning(), evaluate = setting.segmentation(), seed = setting.seeds,
}
