-- layers.lua - which layer of the teacher is worth distilling? Each in turn, beside the one that NMI chooses (the
-- paper's Figs. 6 and 7: the nearer its NMI to 0.09, the better the student).
--   assay compare unip_layers --by unip.loss.attention_distill.teacher_layer
local setting = require "setting"

local scan = setting.scan(setting.teacher())
local layers = setting.scale == "tiny" and any { 1, 2, 3, 4, 5, 6 } or any { 6, 9, 12, 15, 18, 21, 24 }

return experiment {
  name = setting.name "layers", dataset = setting.labelled(), model = setting.segmenter(),
  init = setting.student("unip", loss.attention_distill { teacher = scan, teacher_layer = layers }),
  loss = loss.segmentation {}, train = setting.tuning(), evaluate = setting.segmentation(), seed = setting.seeds,
}
