-- patterns.lua - what the layers look at, before and after pre-training: NMI, attention distance, maps as pictures, and
-- what a linear classifier finds in each layer (spec 2.6). Nothing is trained but the teacher.
--   assay query "SELECT benchmark, value FROM v_score WHERE experiment = 'unip_patterns' AND metric = 'nmi'"
local setting = require "setting"

return experiment {
  name = setting.name "patterns", dataset = setting.labelled(), model = setting.teacher_model(),
  init = any { none, setting.teacher() }, loss = setting.masked(), train = setting.tuning { steps = 0, layer_decay = 1 },
  evaluate = { evaluator.attention_pattern(setting.scanned), evaluator.layer_probe(setting.probed) }, seed = setting.seeds,
}
