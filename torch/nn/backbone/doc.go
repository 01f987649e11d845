// Package backbone holds the image classifiers that transfer learning starts
// from: ResNet, EfficientNet, MobileNetV3, RegNet, ConvNeXt, ViT, DINOv2 and
// Swin, with the names, parameter keys and default initialisation of
// torchvision and timm, so that their published weights load without renaming.
// (Residual branches of ResNet and RegNet begin as torchvision's, not with timm's
// zeros.)
//
// Lookup finds a Spec by name; Spec.Build makes a Net. A Net is a body (images to
// a feature map), a pooling (to one vector per image, the features) and, where
// classes are asked for, a linear head under the architecture's own key.
//
// Most names mean the same network in both libraries but not the same keys:
// "convnext_tiny" is torchvision's, "timm/convnext_tiny" has timm's keys.
package backbone
