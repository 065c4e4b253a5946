-- data.lua - what the student reads: InfMix whole and with a part left out (the paper's Table 9), where ASSAY_INFMIX has
-- it; else fewer of the generated scenes. Its row "without gray" can't be run: pictures here have one channel.
--   assay compare unip_data
local setting = require "setting"

local scan = setting.scan(setting.teacher())
local pictures
if env("ASSAY_INFMIX", "") ~= "" then
  pictures = setting.unlabelled { parts = any {
    { "infpre", "in1k", "coco" }, { "in1k", "coco" }, { "infpre", "coco" }, { "infpre", "in1k" }, { "infpre" },
  } }
elseif env("ASSAY_IMAGES", "thermal") == "thermal" then
  pictures = setting.unlabelled { images = any { 4000, 1000, 250, 60 } }
else
  pictures = setting.unlabelled { data_ratio = any { 1, 0.5, 0.25, 0.1 } }
end

return experiment {
  name = setting.name "data", dataset = setting.labelled(), model = setting.segmenter(),
  init = setting.student("unip", loss.attention_distill {
    teacher = scan, teacher_layer = scan:score("attention_pattern/layer"),
  }, { dataset = pictures }),
  loss = loss.segmentation {}, train = setting.tuning(), evaluate = setting.segmentation(), seed = setting.seeds,
}
