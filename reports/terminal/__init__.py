"""Tables, trees and progress on a terminal."""
