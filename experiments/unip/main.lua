-- main.lua - UNIP's chain and what it is compared with: a teacher's attention is scanned, the layer nearest to
-- NMI 0.09 is distilled into a small student, and the student is fine-tuned, or probed, for segmentation; beside it
-- the same student from scratch and after plain MAE.
--   assay compare unip_main --by init --where model.head=upernet
local setting = require "setting"

local scan = setting.scan(setting.teacher())
local unip = setting.student("unip", loss.attention_distill {
  teacher = scan, teacher_layer = scan:score("attention_pattern/layer"),
})
local protocol = setting.protocols()

return experiment {
  name = setting.name "main", dataset = setting.labelled(), model = setting.by_protocol(protocol),
  init = any { none, setting.plain("mae"), unip }, loss = loss.segmentation {},
  train = setting.tuning { layer_decay = protocol.layer_decay }, evaluate = setting.segmentation(4), seed = setting.seeds,
}
