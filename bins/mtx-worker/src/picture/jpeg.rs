//! Picture to JPEG (JFIF).

use jpeg_encoder::{Encoder, EncodingError, ImageBuffer, JpegColorType, SamplingFactor};
use thiserror::Error;

use super::decode::{Picture, Plane};

/// Hard to tell from the original, at a third of the size of 100.
const QUALITY: u8 = 90;

/// Why a picture can't be written as JPEG.
#[derive(Debug, Error)]
pub(crate) enum JpegError {
    #[error("a picture of {0} by {1} is larger than JPEG allows")]
    TooLarge(usize, usize),
    #[error(transparent)]
    Encoder(#[from] EncodingError),
}

/// The picture as a JPEG file.
pub(crate) fn encode(picture: &Picture) -> Result<Vec<u8>, JpegError> {
    let (width, height) = (picture.width, picture.height);
    let (Ok(columns), Ok(rows)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(JpegError::TooLarge(width, height));
    };
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode_image(Image {
        picture,
        columns,
        rows,
        luma: levels(picture.full_range, 16.0, 219.0),
        chroma: levels(picture.full_range, 16.0, 224.0),
    })?;
    Ok(file)
}

/// JFIF wants levels from 0 to 255, where video begins at `first` and has `steps` (ITU-R BT.601, section 2.5).
fn levels(full_range: bool, first: f32, steps: f32) -> [u8; 256] {
    std::array::from_fn(|level| match full_range {
        true => level as u8,
        // The conversion saturates.
        false => ((level as f32 - first) * 255.0 / steps).round() as u8,
    })
}

struct Image<'a> {
    picture: &'a Picture,
    columns: u16,
    rows: u16,
    luma: [u8; 256],
    chroma: [u8; 256],
}

impl Image<'_> {
    fn push(
        plane: &Plane,
        row: usize,
        shift: u8,
        levels: &[u8; 256],
        to: &mut Vec<u8>,
        columns: u16,
    ) {
        let start = (row >> shift) * plane.width;
        let samples = plane.samples.get(start..).unwrap_or_default();
        // A sample that is missing is grey.
        let level = |column| samples.get(column >> shift).copied().unwrap_or(128);
        to.extend((0..usize::from(columns)).map(|column| levels[usize::from(level(column))]));
    }
}

impl ImageBuffer for Image<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.columns
    }

    fn height(&self) -> u16 {
        self.rows
    }

    fn fill_buffers(&self, y: u16, [luma, cb, cr, _]: &mut [Vec<u8>; 4]) {
        let row = usize::from(y);
        let [blue, red] = &self.picture.chroma;
        Self::push(&self.picture.luma, row, 0, &self.luma, luma, self.columns);
        Self::push(blue, row, 1, &self.chroma, cb, self.columns);
        Self::push(red, row, 1, &self.chroma, cr, self.columns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_levels_become_full_levels() {
        let luma = levels(false, 16.0, 219.0);
        assert_eq!((luma[0], luma[16], luma[235], luma[255]), (0, 0, 255, 255));
        let chroma = levels(false, 16.0, 224.0);
        assert_eq!((chroma[16], chroma[128], chroma[240]), (0, 128, 255));
        assert_eq!(levels(true, 16.0, 219.0)[16], 16);
    }

    #[test]
    fn odd_sizes_and_missing_samples_are_encoded() {
        let plane = || Plane {
            samples: vec![100; 3],
            width: 2,
        };
        let picture = Picture {
            width: 3,
            height: 5,
            luma: plane(),
            chroma: [plane(), plane()],
            full_range: false,
        };
        let file = encode(&picture).unwrap();
        assert!(file.starts_with(&[0xff, 0xd8]) && file.ends_with(&[0xff, 0xd9]));
    }
}
