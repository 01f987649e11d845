// Package weights finds published weights: in a folder of the user's, or else at
// the architecture's official source, from where they are fetched once.
//
// Find takes what a configuration says under model.pretrained: true, a tag such
// as "IMAGENET1K_V2", a file's path, or an https:// address. What was fetched has
// its checksum checked and its licence stored beside it (FILE.license.json), and
// a broken transfer goes on where it stopped. Weights under a permissive licence
// are taken without more words; others only where the user accepts their licence
// by name.
package weights
