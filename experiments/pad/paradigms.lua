-- paradigms.lua - the paper's four ways to a segmenter of infrared pictures: (a) MAE on infrared pictures from scratch,
-- (b) ImageNet's MAE as it is, (c) ImageNet's MAE that goes on as a whole, also with a layer-wise learning rate, (d) PAD:
-- ImageNet's MAE frozen, adapters learn. And none at all.
--   assay compare pad_paradigms --baseline "adapter=none init=continual"
local setting = require "setting"

local imagenet = setting.imagenet()
local way = zip {
  init = {
    none, setting.from_scratch(), imagenet, setting.continual("continual", imagenet),
    setting.continual("continual_decay", imagenet, { layer_decay = 0.7 }), setting.pad(imagenet),
  },
  adapter = { none, none, none, none, none, setting.adapting() },
}

return experiment {
  name = setting.name "paradigms", dataset = setting.labelled(), model = setting.segmenter(), init = way.init,
  adapter = way.adapter, loss = loss.segmentation {}, train = setting.tuning(),
  evaluate = { evaluator.segmentation { pictures = 4 } }, seed = setting.seeds,
}
