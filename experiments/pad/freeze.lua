-- freeze.lua - the later study of the scale: for which fraction of pre-training it stays at 0.5.
--   assay compare pad_freeze --by pad.adapter.patch_scale.freeze_fraction
local setting = require "setting"
local imagenet = setting.imagenet()

return experiment {
  name = setting.name "freeze", dataset = setting.labelled(), model = setting.segmenter(),
  init = setting.pad(imagenet, { freeze_fraction = any { 0, 0.3, 0.6, 0.9 } }), adapter = setting.adapting(),
  loss = loss.segmentation {}, train = setting.tuning(), evaluate = { evaluator.segmentation {} }, seed = setting.seeds,
}
