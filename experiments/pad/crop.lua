-- crop.lua - random crops, or crops around regions of selective search, of which a fraction may be small (spec 3.3).
--   assay compare pad_crop --by pad.dataset.crop
local setting = require "setting"
local imagenet = setting.imagenet()
local crop = zip { crop = { "random", "roi", "roi" }, roi_p = { 0.85, 0.85, 0 } }

return experiment {
  name = setting.name "crop", dataset = setting.labelled(), model = setting.segmenter(),
  init = setting.pad(imagenet, nil, { dataset = setting.infrared { crop = crop.crop, roi_p = crop.roi_p } }),
  adapter = setting.adapting(), loss = loss.segmentation {}, train = setting.tuning(),
  evaluate = { evaluator.segmentation {} }, seed = setting.seeds,
}
